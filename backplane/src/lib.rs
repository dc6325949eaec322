//! The seams between gateways, routers and stores; the record codec; in-memory drivers.
