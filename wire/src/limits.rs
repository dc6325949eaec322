//! The format's own bounds; a deployment may set smaller ones.

/// What a client sends first on a byte stream: magic and major version.
pub const PREFACE: [u8; 4] = [0xD7, 0x4D, 0x50, 0x01];
/// The version this crate speaks.
pub const PROTO: u8 = 1;
/// Body bytes of a HELLO.
pub const HELLO_BYTES_MAX: usize = 4096;
/// Body bytes of any other frame from a client, by default.
pub const CLIENT_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Body bytes of a frame from a server, by default.
pub const SERVER_FRAME_BYTES_MAX: usize = 256 * 1024;
/// Payload bytes of a message.
pub const PAYLOAD_BYTES_MAX: usize = 60 * 1024;
/// Payload bytes of an ECHO.
pub const ECHO_BYTES_MAX: usize = 4096;
