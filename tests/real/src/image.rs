//! OS images of a few megabytes, published as `release add` does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daymark_node::slots::ImageIdentity;
use daymark_protocol::resource::{LayoutPart, OsProfileSpec, OsType, TargetOs};
use daymarkctl::release::sample_disk::{Content, SampleDisk, write_sample_disk};
use daymarkctl::release::{AddProgress, add_image};

/// The only OS profile.
pub const PROFILE: &str = "edge";
const BLOCK_BYTES: usize = 64 << 10;

/// What the part `agent` of an image holds.
#[derive(Clone, Debug)]
pub enum Agent {
    /// A script that runs the node's program: small images.
    Script,
    /// The node's program itself.
    Program,
    /// Another program, byte for byte.
    Another(PathBuf),
    /// A script of the test's own.
    Own(String),
    /// No program.
    Nothing,
}

/// An image to be built.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its version.
    pub version: String,
    /// The agent in it.
    pub agent: Agent,
    /// Size of its root file system, bytes.
    pub rootfs_bytes: usize,
    /// Root file systems of the same seed share all but a few blocks.
    pub seed: u32,
    /// Health checks that its profile names.
    pub health_checks: Vec<String>,
}

impl Image {
    /// An image of 2 MiB with the usual agent.
    pub fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            agent: Agent::Script,
            rootfs_bytes: 2 << 20,
            seed: 0,
            health_checks: Vec::new(),
        }
    }

    /// With another agent.
    #[must_use]
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agent = agent;
        self
    }

    /// With a root file system of that size that shares nothing with others.
    #[must_use]
    pub fn rootfs(mut self, bytes: usize, seed: u32) -> Self {
        (self.rootfs_bytes, self.seed) = (bytes, seed);
        self
    }

    /// With a health check.
    #[must_use]
    pub fn check(mut self, line: &str) -> Self {
        self.health_checks.push(line.to_owned());
        self
    }

    /// Builds and publishes it below `release`. `programs` is the folder of the node's programs.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn publish(
        &self,
        programs: &Path,
        work: &Path,
        release: &Path,
    ) -> anyhow::Result<OsProfileSpec> {
        let node = programs.join("daymark-node");
        let agent = match &self.agent {
            Agent::Script => script(&format!("exec {} \"$@\"", node.display())),
            Agent::Program => fs::read(&node).context("cannot read the node's program")?,
            Agent::Another(program) => {
                fs::read(program).with_context(|| program.display().to_string())?
            }
            Agent::Own(text) => script(text),
            Agent::Nothing => vec![b'.'; BLOCK_BYTES],
        };
        let rootfs = self.rootfs_content();
        let disk: PathBuf = work.join(format!("{}.raw", self.version));
        let partitions = [("rootfs", Content::Bytes(&rootfs)), ("agent", Content::Bytes(&agent))];
        write_sample_disk(&disk, &SampleDisk { uki: b"uki", partitions: &partitions })?;
        let added = add_image(&disk, self.profile(), release, &mut |_: AddProgress| {})?;
        fs::remove_file(&disk)?;
        Ok(added.profile)
    }

    /// Blocks that do not compress; the first tells versions apart.
    fn rootfs_content(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.rootfs_bytes];
        for (number, block) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
            let version = if number == 0 { self.version.as_str() } else { "" };
            let name = format!("{} {number} {version}", self.seed);
            blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(block);
        }
        bytes
    }

    fn profile(&self) -> OsProfileSpec {
        let partition = |label: &str| LayoutPart { partition: label.to_owned(), file: None };
        OsProfileSpec {
            name: format!("Edge {}", self.version),
            os_type: OsType::Immutable,
            provider: "OS_PROVIDER_KIND_INFRA".into(),
            architecture: String::new(),
            profile_name: PROFILE.into(),
            os_image_url: String::new(),
            os_image_version: self.version.clone(),
            os_image_sha256: None,
            os_package_manifest_url: String::new(),
            os_existing_cves_url: String::new(),
            os_fixed_cves_url: String::new(),
            security_feature: String::new(),
            platform_bundle: None,
            description: String::new(),
            tls_ca_certificate: String::new(),
            layout: ["rootfs", "agent"].map(|part| (part.to_owned(), partition(part))).into(),
            index_digest: None,
            index_bytes: None,
            parts: [].into(),
            minimum_version: None,
            // Little is needed of a window.
            activation_seconds: Some(1),
            health_checks: self.health_checks.clone(),
        }
    }
}

fn script(line: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{line}\n").into_bytes()
}

/// An image that was published and signed for.
#[derive(Clone, Debug)]
pub struct Published {
    /// What a policy names it by.
    pub os: TargetOs,
    /// Its profile.
    pub profile: OsProfileSpec,
}

impl Published {
    /// Size of all parts, bytes.
    pub fn bytes(&self) -> u64 {
        self.profile.parts.values().map(|part| part.bytes).sum()
    }

    /// What a factory installs, and the size of its index.
    ///
    /// # Errors
    /// If the profile names no index.
    pub fn identity(&self) -> anyhow::Result<(ImageIdentity, u64)> {
        let profile = &self.profile;
        let identity = ImageIdentity {
            profile: self.os.digest,
            profile_name: self.os.profile.clone(),
            version: self.os.version.clone(),
            index: profile.index_digest.context("the profile names no index")?,
            parts: profile.parts.clone(),
        };
        Ok((identity, profile.index_bytes.context("the profile names no index size")?))
    }
}
