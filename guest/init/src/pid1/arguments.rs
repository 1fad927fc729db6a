//! What the machine says on the kernel's command line: `berth.address`, `berth.gateway`, `berth.host`.

use std::net::Ipv4Addr;

use anyhow::Context;

/// The machine's network, as far as it names one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The guest's address and its prefix's length.
    pub(super) address: Option<(Ipv4Addr, u8)>,
    /// The way out.
    pub(super) gateway: Option<Ipv4Addr>,
    /// What `host.docker.internal` means.
    pub(super) host: Option<Ipv4Addr>,
}

impl Arguments {
    /// Reads the running kernel's.
    pub(super) fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/cmdline").context("read the kernel's command line")?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let value = |name: &str| {
            let mut words = text.split_whitespace().filter_map(|word| word.split_once('='));
            words.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let ip = |name: &str| value(name).map(str::parse).transpose().with_context(|| format!("read {name}"));
        let address = value("berth.address").map(|text| {
            let (address, length) = text.split_once('/').context("berth.address has no prefix length")?;
            anyhow::Ok((address.parse()?, length.parse()?))
        });
        Ok(Self { address: address.transpose()?, gateway: ip("berth.gateway")?, host: ip("berth.host")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_read_among_other_arguments() {
        let text = "console=ttyS0 quiet berth.address=10.0.2.15/24 berth.gateway=10.0.2.2 root=/dev/vda\n";
        let arguments = Arguments::parse(text).unwrap();
        assert_eq!(arguments.address, Some((Ipv4Addr::new(10, 0, 2, 15), 24)));
        assert_eq!(arguments.gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(arguments.host, None);
    }
}
