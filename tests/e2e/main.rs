//! The end-to-end tests: real programs and servers, seen only through ports, output and exit codes.

fn main() {}
