//! The suite `spine`: a VM replicates to S3 and its replica is proven identical, end to end.

mod changes;
mod cycles;
mod kills;
mod lost;
mod tamper;
