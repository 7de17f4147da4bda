//! The packet filter for the addresses that take no packets, as the configuration
//! changes.

use std::{collections::BTreeSet, net::IpAddr};

use crate::net::accept::{AcceptError, AcceptFilter};

/// The filter, while there are such addresses. Dropping it removes the table.
#[derive(Debug)]
pub(super) struct Accepting {
    table: String,
    refused: BTreeSet<IpAddr>,
    filter: Option<AcceptFilter>,
}

impl Accepting {
    /// No such addresses yet; `table` is the name of the nftables table.
    pub(super) fn new(table: String) -> Self {
        Self {
            table,
            refused: BTreeSet::new(),
            filter: None,
        }
    }

    /// The name of the table.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// Whether the table is there.
    pub(super) fn is_on(&self) -> bool {
        self.filter.is_some()
    }

    /// These addresses take no packets from now on, and no others. Waits for `nft`,
    /// if that is a change.
    ///
    /// # Errors
    /// [`AcceptError`]; all is as before then.
    pub(super) fn refuse(&mut self, refused: BTreeSet<IpAddr>) -> Result<(), AcceptError> {
        if refused == self.refused {
            return Ok(());
        }
        if let Some(filter) = &self.filter {
            filter.replace(refused.iter().copied())?;
            if refused.is_empty() {
                self.filter = None;
            }
        } else {
            let filter = AcceptFilter::install(&self.table, refused.iter().copied())?;
            self.filter = Some(filter);
        }
        self.refused = refused;
        Ok(())
    }
}
