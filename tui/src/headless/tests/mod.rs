//! Tests of what the commands without a screen print: golden documents, and whole commands against a server.

mod commands;
mod golden;
