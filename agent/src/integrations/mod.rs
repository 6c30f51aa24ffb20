//! One file for each third-party crate; each is a cargo feature of the same name.
