//! A route as bytes: what stands in the bucket for one device of a user.
//!
//! `length u8 | device u64 | attempt u32 | gateway u16 | gateway epoch, shard, slot, generation as LEB128`, integers
//! big-endian; the length is that of what follows it. The scripts read device, attempt and epoch and compare the rest
//! byte by byte, so a seat has one encoding. A user's seats stand one after the other, in no order.

use millpond_backplane::codec::{put_varint, take_varint};
use millpond_backplane::routes::Route;
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_wire::{DeviceId, UserId};

/// The longest seat, its length included.
pub(crate) const BYTES_MAX: usize = 1 + FIXED + 5 + 3 + 5 + 5;
const FIXED: usize = 14;

/// Appends a seat.
///
/// # Errors
/// A gateway whose number takes more than 16 bits.
pub(crate) fn encode(route: &Route, into: &mut Vec<u8>) -> Result<(), GatewayId> {
    let Address {
        gateway,
        gateway_epoch,
        handle,
        user: _,
        device,
    } = route.address;
    let number = u16::try_from(gateway.0).map_err(|_| gateway)?;
    let start = into.len();
    into.push(0);
    into.extend_from_slice(&device.0.to_be_bytes());
    into.extend_from_slice(&route.attempt.to_be_bytes());
    into.extend_from_slice(&number.to_be_bytes());
    put_varint(gateway_epoch.into(), into);
    put_varint(handle.shard.into(), into);
    put_varint(handle.slot.into(), into);
    put_varint(handle.generation.into(), into);
    let length = into.len() - start - 1;
    into[start] = u8::try_from(length).expect("a seat is shorter than 256 bytes");
    Ok(())
}

/// All seats of a user, in order of their devices.
///
/// # Errors
/// Bytes that [`encode`] never makes, in words.
pub(crate) fn decode(user: UserId, mut seats: &[u8]) -> Result<Vec<Route>, &'static str> {
    let mut routes = Vec::with_capacity(1);
    while let Some((&length, rest)) = seats.split_first() {
        let (seat, rest) = rest
            .split_at_checked(usize::from(length))
            .ok_or("a seat is cut short")?;
        routes.push(decode_one(user, seat)?);
        seats = rest;
    }
    routes.sort_unstable_by_key(|route| route.address.device);
    Ok(routes)
}

fn decode_one(user: UserId, seat: &[u8]) -> Result<Route, &'static str> {
    const SHORT: &str = "a seat is too short";
    let (device, rest) = seat.split_first_chunk().ok_or(SHORT)?;
    let (attempt, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let (gateway, mut rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let gateway_epoch = number(&mut rest, "no gateway epoch")?;
    let handle = Handle {
        shard: number(&mut rest, "no shard")?,
        slot: number(&mut rest, "no slot")?,
        generation: number(&mut rest, "no generation")?,
    };
    if !rest.is_empty() {
        return Err("a seat is too long");
    }
    let address = Address {
        gateway: GatewayId(u32::from(u16::from_be_bytes(*gateway))),
        gateway_epoch,
        handle,
        user,
        device: DeviceId(u64::from_be_bytes(*device)),
    };
    Ok(Route {
        address,
        attempt: u32::from_be_bytes(*attempt),
    })
}

fn number<T: TryFrom<u64>>(bytes: &mut &[u8], what: &'static str) -> Result<T, &'static str> {
    take_varint(bytes, what).map_err(|error| error.what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn route(device: u64, numbers: [u32; 4], gateway: u16, shard: u16) -> Route {
        let [attempt, gateway_epoch, slot, generation] = numbers;
        let address = Address {
            gateway: GatewayId(gateway.into()),
            gateway_epoch,
            handle: Handle {
                shard,
                slot,
                generation,
            },
            user: UserId::new(7).unwrap(),
            device: DeviceId(device),
        };
        Route { address, attempt }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(
            devices in prop::collection::btree_map(any::<u64>(), (any::<[u32; 4]>(), any::<u16>(), any::<u16>()), 0..5)
        ) {
            let routes: Vec<_> = devices
                .into_iter()
                .map(|(device, (numbers, gateway, shard))| route(device, numbers, gateway, shard))
                .collect();
            let mut bytes = Vec::new();
            for route in routes.iter().rev() {
                let before = bytes.len();
                encode(route, &mut bytes).unwrap();
                prop_assert!(bytes.len() - before <= BYTES_MAX);
            }
            prop_assert_eq!(decode(UserId::new(7).unwrap(), &bytes).unwrap(), routes);
        }

        #[test]
        fn garbage_is_refused_or_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let user = UserId::new(7).unwrap();
            if let Ok(routes) = decode(user, &bytes) {
                let mut again = Vec::new();
                for route in &routes {
                    encode(route, &mut again).unwrap();
                }
                prop_assert_eq!(decode(user, &again).unwrap(), routes);
                prop_assert_eq!(again.len(), bytes.len());
            }
        }
    }

    #[test]
    fn a_usual_seat_is_22_bytes() {
        let mut bytes = Vec::new();
        let usual = route(u64::MAX, [1_800_000_000, 300, 900_000, 3], 12, 1);
        encode(&usual, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 22);
    }

    #[test]
    fn a_gateway_beyond_16_bits_is_refused() {
        let mut beyond = route(1, [1; 4], 0, 0);
        beyond.address.gateway = GatewayId(65_536);
        assert_eq!(encode(&beyond, &mut Vec::new()), Err(GatewayId(65_536)));
    }
}
