//! Guest programs and the tests that run them natively and inside.
