//! `keyrot demo`.
use clap::Args;

use crate::arguments::Options;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {}

pub(crate) async fn run(_: DemoArguments, _: &Options) -> Result<(), Failure> {
    Ok(())
}
