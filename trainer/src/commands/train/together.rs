//! What the ranks of a run settle before its first step, so that all do the same.

use std::fs;

use ranks::Ranks;
use serde::Serialize;
use serde::de::DeserializeOwned;
use unet3d::Norm;

use crate::config::{Auto, Config};
use crate::predict::{Plan, Tensors};
use crate::run::checkpoint::Saved;
use crate::run::record::{Division, Origins};
use crate::training::{Settled, digest};
use crate::{Error, Result};

/// What the first rank finds, for all.
///
/// # Errors
/// Those of `find`, or if a rank is lost.
pub(in crate::commands) fn first<R: Serialize + DeserializeOwned>(
    ranks: &Ranks,
    find: impl FnOnce() -> Result<R>,
) -> Result<R> {
    if ranks.is_alone() {
        return find();
    }
    let found = if ranks.is_first() { Some(find()?) } else { None };
    let said = found.as_ref().map(serde_json::to_vec).transpose();
    let said = ranks.of_first(&said.map_err(unreadable)?.unwrap_or_default())?;
    found.map_or_else(|| serde_json::from_slice(&said).map_err(unreadable), Ok)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Usage(format!("what rank 0 says is not understood: {error}"))
}

/// The plan of the first rank, whose machine may have other memory than others', and the batch that goes with it. `settle` makes
/// or measures a plan; what it says of memory is that of one rank.
///
/// # Errors
/// Those of `settle`; if the batch cannot be shared; if a rank is lost.
pub(super) fn settled(
    ranks: &Ranks,
    config: &mut Config,
    before: Option<Plan>,
    settle: impl Fn(&Config, Option<Plan>) -> Result<Settled>,
) -> Result<Settled> {
    if !ranks.is_alone() && config.model.norm == Norm::Batch {
        let message =
            "is \"batch\", whose statistics are of a whole batch that no rank has: take \"instance\"";
        return Err(Error::config("model.norm", message));
    }
    let mut own = None;
    let (plan, batch) = first(ranks, || {
        let settled = settle(&config.of_rank(ranks.size()), before)?;
        let batch = config.data.batch_size.value().map_or(settled.outlook.batch_size, |&batch| batch);
        let plan = settled.plan.clone();
        own = Some(settled);
        Ok((plan, batch))
    })?;
    config.data.batch_size = Auto::Value(batch);
    if batch < ranks.size() {
        let message = format!(
            "is {batch}, and {} ranks share a batch: give each a sample at least, as with --set data.batch_size={}",
            ranks.size(),
            ranks.size()
        );
        return Err(Error::config("data.batch_size", message));
    }
    let settled = own.map_or_else(|| settle(&config.of_rank(ranks.size()), Some(plan)), Ok)?;
    Ok(if ranks.is_alone() { settled } else { settled.of_rank(batch) })
}

/// Makes sure that all ranks have the same program, instruction set, settings, data and checkpoint.
///
/// # Errors
/// Names the first rank that has another, and what.
pub(super) fn agree(
    ranks: &Ranks,
    config: &Config,
    origins: Origins<'_>,
    division: &Division,
    (resumed, init): (Option<&Saved>, Option<&Tensors>),
) -> Result<()> {
    if ranks.is_alone() {
        return Ok(());
    }
    let mut facts = vec![
        ("program".to_owned(), program()?),
        ("instruction set".to_owned(), autograd::simd::active().to_string()),
        ("division of the cases".to_owned(), format!("{division:?}")),
    ];
    let settings = config.settings().into_iter().filter(|(key, _)| key != "training.threads");
    facts.extend(settings.map(|(key, value)| (key, value.to_string())));
    for dataset in std::iter::once(origins.training).chain(origins.validation) {
        for sum in dataset.checksums(origins.checksums)? {
            let content = format!("{} bytes with CRC-32C {:08x}", sum.bytes, sum.crc32c);
            facts.push((format!("file {}", sum.path), content));
        }
    }
    if let Some(saved) = resumed {
        let network = &saved.card.networks[0];
        facts.push(("checkpoint".to_owned(), format!("{} after {} steps", network.digest, network.steps)));
    }
    if let Some(weights) = init {
        facts.push(("--init".to_owned(), format!("weights with CRC-32C {:08x}", digest(weights))));
    }
    match ranks.disagreement(&facts)? {
        Some(words) => Err(Error::Usage(format!("{words}: all ranks of a run need the same"))),
        None => Ok(()),
    }
}

/// The version and the checksum of the program itself: of two builds the numbers may differ in rounding.
fn program() -> Result<String> {
    let path = std::env::current_exe().map_err(Error::io("the program"))?;
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    Ok(format!("version {} with CRC-32C {:08x}", env!("CARGO_PKG_VERSION"), crc32c::crc32c(&bytes)))
}
