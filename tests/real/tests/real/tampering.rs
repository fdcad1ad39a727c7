//! Wrong bytes are refused, and whoever sent them is blamed.
