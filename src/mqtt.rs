//! MQTT: the topics of the contract.

pub mod topic;
