//! `Mapping`: the pages of one file, shared by everyone who reads, writes or maps it.

/// The page cache of one file.
pub struct Mapping {}
