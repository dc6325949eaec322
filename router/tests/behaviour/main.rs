//! What the router does, seen through its seams.

mod fused;
mod people;
mod properties;
mod stages;
mod threads;
