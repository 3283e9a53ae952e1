// SPDX-License-Identifier: MIT
// Nothing: its target holds the header that is compiled once for the programs beside it.
