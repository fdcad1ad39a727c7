//! How gossip is set up: anonymous, validated before it is forwarded, named by content.

use std::time::Duration;

use daymark_core::effect::Topic;
use daymark_protocol::id::Digest;
use daymark_protocol::limits::{MESSAGE_BYTES_MAX, RESOURCE_ID_BYTES_MAX};
use libp2p::PeerId;
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, DataTransform, IdentTopic, IdentityTransform,
    MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId, PeerScoreParams,
    PeerScoreThresholds, TopicHash, TopicScoreParams, TopicSubscriptionFilter, ValidationMode,
    score_parameter_decay,
};

use super::config::MeshError;

/// Topics a peer may be subscribed to: its fleet's, its site's, one or two push groups', and some to
/// spare.
const TOPICS_PER_PEER_MAX: usize = 16;
/// Longest name of a topic: `daymark/`, a fleet id, `/site/`, a resource id, `/`, eight bits.
const TOPIC_BYTES_MAX: usize = 8 + 64 + 6 + RESOURCE_ID_BYTES_MAX + 9;
/// What a topic's name and the envelope add to a message.
const ENVELOPE_BYTES_MAX: usize = 1024;
/// Messages that wait for one slow peer; more are dropped, repair brings them later.
const QUEUE_MESSAGES_MAX: usize = 128;

/// Gossip as this mesh speaks it. `T` sees every message that arrives, also those seen before.
pub type Gossip<T = IdentityTransform> = Behaviour<T, MaxCountSubscriptionFilter<ShortTopics>>;

/// Lets peers name topics of bounded length. It cannot be narrower: a peer that names a topic
/// before this node subscribes to it would never be sent that topic. Messages of topics that this
/// node is not subscribed to are dropped all the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShortTopics;

impl TopicSubscriptionFilter for ShortTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        topic.as_str().len() <= TOPIC_BYTES_MAX
    }
}

/// Sets gossip up; `heartbeat` is how often it tends its mesh.
///
/// # Errors
/// If gossipsub refuses the configuration.
pub fn behaviour<T>(heartbeat: Duration, transform: T) -> Result<Gossip<T>, MeshError>
where
    T: DataTransform + Send + 'static,
{
    let setup = |reason: String| MeshError::Setup { part: "gossip", reason };
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        // The default id of an anonymous message is constant: only the first would get through.
        .message_id_fn(message_id)
        .max_transmit_size(MESSAGE_BYTES_MAX + ENVELOPE_BYTES_MAX)
        .heartbeat_interval(heartbeat)
        .flood_publish(true)
        // A site is small, and each link costs a copy of each message.
        .mesh_n(5)
        .mesh_n_low(4)
        .mesh_n_high(8)
        .mesh_outbound_min(1)
        .gossip_lazy(4)
        .duplicate_cache_time(Duration::from_secs(120))
        .connection_handler_queue_len(QUEUE_MESSAGES_MAX)
        .build()
        .map_err(|error| setup(error.to_string()))?;
    let filter = MaxCountSubscriptionFilter {
        filter: ShortTopics,
        max_subscribed_topics: TOPICS_PER_PEER_MAX,
        max_subscriptions_per_request: TOPICS_PER_PEER_MAX,
    };
    let mut gossip = Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        transform,
    )
    .map_err(|error| setup(error.to_owned()))?;
    gossip.with_peer_score(score(), thresholds()).map_err(setup)?;
    Ok(gossip)
}

/// Receives a topic's messages from now on.
pub(super) fn subscribe(gossip: &mut Gossip, topic: &Topic) {
    let name = IdentTopic::new(&topic.0);
    if let Err(error) = gossip.subscribe(&name) {
        tracing::warn!(topic = topic.0, %error, "cannot subscribe");
    } else if let Err(error) = gossip.set_topic_params(name, topic_score()) {
        tracing::warn!(topic = topic.0, error, "cannot score a topic's messages");
    }
}

/// Receives a topic's messages no longer.
pub(super) fn unsubscribe(gossip: &mut Gossip, topic: &Topic) {
    // That it was not subscribed to is no failure.
    gossip.unsubscribe(&IdentTopic::new(&topic.0));
}

/// Publishes on a topic. That nobody is there to hear it is no failure: repair brings it later.
pub(super) fn publish(gossip: &mut Gossip, topic: &Topic, bytes: Vec<u8>) {
    if let Err(error) = gossip.publish(IdentTopic::new(&topic.0), bytes) {
        tracing::debug!(topic = topic.0, %error, "not published");
    }
}

/// Passes messages on to a connected peer always, or no longer. Such a peer is grafted into no
/// mesh from now on and gets no word of recent messages: it gets the messages. Its score counts
/// for what is heard of it, as before.
pub(super) fn bridge(gossip: &mut Gossip, peer: PeerId, open: bool) {
    if open {
        gossip.add_explicit_peer(&peer);
    } else {
        gossip.remove_explicit_peer(&peer);
    }
}

/// SHA-256 of topic and content, so that a message has one id wherever it comes from.
fn message_id(message: &Message) -> MessageId {
    let digest = Digest::of_parts(&[message.topic.as_str().as_bytes(), &message.data]);
    MessageId::new(digest.as_bytes())
}

/// Only what a peer did wrong counts: many machines behind one address are a site, and a topic
/// that is silent for days is a quiet fleet.
fn score() -> PeerScoreParams {
    PeerScoreParams {
        ip_colocation_factor_weight: 0.0,
        slow_peer_weight: 0.0,
        // A peer that was redialled may graft too early a few times.
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        ..PeerScoreParams::default()
    }
}

/// Of a topic, rejected messages alone count: from the fourth on a peer hears no gossip, from the
/// ninth on it is not heard, for some minutes.
fn topic_score() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_secs(600)),
        ..TopicScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds { opportunistic_graft_threshold: 0.0, ..PeerScoreThresholds::default() }
}
