//! HTTP on the admin address: health and metrics.
