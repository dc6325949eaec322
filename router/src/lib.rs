//! Decides: the conversation machine, the inbox machine, and the drivers that feed them.
