//! heartline.
