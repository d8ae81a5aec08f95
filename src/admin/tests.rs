//! The server over real sockets, with a control that is not there.
