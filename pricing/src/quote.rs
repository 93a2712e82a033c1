//! Usage in, invoice lines out.
