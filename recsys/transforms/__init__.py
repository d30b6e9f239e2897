"""Pure transforms: frames in, frames out, plain values by keyword."""
