//! `docker top`: a container's processes. There is no `ps` in the guest; /proc says all, and `ps`'s usual options choose
//! the columns.

mod columns;
mod process;

use crate::{Engine, Error};

use columns::Column;
use process::{Machine, Process};

/// A table of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The columns' titles.
    pub titles: Vec<String>,
    /// One row for each process.
    pub processes: Vec<Vec<String>>,
}

impl Engine {
    /// The processes of a running container, with the columns that `ps_args` asks for.
    ///
    /// # Errors
    /// When it doesn't run, or an option isn't known.
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<Top, Error> {
        let columns = columns::chosen(ps_args)?;
        let container = self.containers.find(name)?;
        if !container.state().status.has_process() {
            return Err(Error::NotRunning(container.id.clone()));
        }
        let cgroup = self.cgroup_of(&container);
        let top = tokio::task::spawn_blocking(move || {
            let machine = Machine::read();
            let mut pids = cgroup.pids()?;
            pids.sort_unstable();
            // One that ends meanwhile is no row.
            let processes: Vec<Process> = pids.into_iter().filter_map(Process::read).collect();
            Ok::<_, Error>(table(&columns, &processes, &machine))
        });
        let top = top.await??;
        self.tell(&container, "top");
        Ok(top)
    }
}

fn table(columns: &[Column], processes: &[Process], machine: &Machine) -> Top {
    let row = |process| columns.iter().map(|column| column.of(process, machine)).collect();
    Top {
        titles: columns.iter().map(|column| column.title.clone()).collect(),
        processes: processes.iter().map(row).collect(),
    }
}
