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
/// Body bytes of any frame, whatever was negotiated: what three bytes of length can say.
pub const BODY_BYTES_MAX: usize = (1 << 21) - 1;
/// Bytes of the largest head of a frame: its type and three bytes of length.
pub const HEAD_BYTES_MAX: usize = 4;
/// Bytes of the agent text in HELLO.
pub const AGENT_BYTES_MAX: usize = 64;
/// Bytes of the text in ERROR.
pub const MESSAGE_BYTES_MAX: usize = 128;
/// Bytes of the endpoint in GOAWAY.
pub const ENDPOINT_BYTES_MAX: usize = 255;
/// Extensions in one block.
pub const EXTENSIONS_MAX: usize = 16;
/// Bytes of one extension block.
pub const EXTENSION_BYTES_MAX: usize = 1024;
