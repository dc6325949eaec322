//! Queue and bell with a real thread at each end.

use super::*;

/// Each item crosses to a sleeping owner whose timeout is far longer than the test may take: one lost ring stops it.
#[test]
fn no_ring_is_lost_between_two_threads() {
    const ITEMS: u32 = 200_000;
    const FOREVER: Duration = Duration::from_secs(60);
    let bells: [Arc<ThreadBell>; 2] = std::array::from_fn(|_| Arc::default());
    let (mut there, mut there_end) = channel(4, bells[1].clone());
    let (mut back, mut back_end) = channel(4, bells[0].clone());
    let start = Instant::now();
    let echo = std::thread::spawn({
        let bell = bells[1].clone();
        move || {
            let mut echoed = 0;
            while echoed < ITEMS {
                while let Some(item) = there_end.pop() {
                    back.push(item).unwrap();
                    echoed += 1;
                }
                back.flush();
                if echoed < ITEMS {
                    bell.wait(FOREVER);
                }
            }
        }
    });
    let mut next_back = 0;
    for item in 0..ITEMS {
        // Two in flight, so that rings meet both sleeping and waking owners.
        there.push(item).unwrap();
        there.flush();
        while next_back + 2 <= item {
            match back_end.pop() {
                Some(item) => {
                    assert_eq!(item, next_back);
                    next_back += 1;
                }
                None => bells[0].wait(FOREVER),
            }
        }
    }
    echo.join().unwrap();
    assert!(start.elapsed() < FOREVER, "a wait ran into its timeout");
}

#[test]
fn a_ring_before_the_wait_counts_once() {
    let bell = ThreadBell::default();
    bell.ring();
    bell.ring();
    let start = Instant::now();
    bell.wait(Duration::from_secs(60));
    assert!(start.elapsed() < Duration::from_secs(30));
    bell.wait(Duration::from_millis(20));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_full_queue_gives_the_item_back_and_rings_once_for_all() {
    #[derive(Default, Debug)]
    struct Count(AtomicU8);
    impl Bell for Count {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let bell = Arc::new(Count::default());
    let (mut sender, mut receiver) = channel(2, bell.clone());
    sender.push(1).unwrap();
    sender.push(2).unwrap();
    assert_eq!(sender.push(3), Err(3));
    sender.flush();
    sender.flush();
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    assert_eq!((receiver.pop(), receiver.pop()), (Some(1), Some(2)));
    assert!(receiver.is_empty() && !receiver.is_closed());
    drop(sender);
    assert!(receiver.is_closed());
}

#[test]
fn a_weighed_queue_is_full_by_bytes_or_by_items_and_taking_makes_room() {
    let (sender, mut receiver) = channel(4, Arc::<ThreadBell>::default());
    let mut sender = WeighedSender::new(sender, 100);
    sender.push('a', 60).unwrap();
    assert_eq!(sender.push('b', 41), Err('b'), "too many bytes");
    sender.push('c', 40).unwrap();
    sender.push('d', 0).unwrap();
    assert_eq!(receiver.pop(), Some('a'));
    assert_eq!(sender.push('e', 61), Err('e'), "40 still wait");
    sender.push('f', 60).unwrap();
    sender.push('g', 0).unwrap();
    assert_eq!(sender.push('h', 0), Err('h'), "too many items");
    assert_eq!((sender.bytes, sender.weights.len()), (100, 4));
    let taken: String = std::iter::from_fn(|| receiver.pop()).collect();
    assert_eq!(taken, "cdfg");
    sender.push('i', 100).unwrap();
    assert_eq!(sender.weights.len(), 1, "what was taken is forgotten");
}
