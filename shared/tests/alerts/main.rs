//! The alert language and engine from outside: the shipped rules, bad files and scenarios.

mod shipped;
