// Package suite measures peers side by side in one interleaved run.
//
// Its nouns: a Scenario is a piece of work and the entries that do it; an Entry
// is a peer in one of its variations; a round runs every entry of every scenario
// once, each on a server of its own that is started for it and stopped after it;
// a Sample is what one entry did in one round.
//
// What it promises about figures: rounds are outermost, so that a disturbance of
// the machine falls on all entries alike; a ratio is made of two samples of the
// same round, and the median of such ratios is shown; every delivery of every
// peer is checked by the generator, and a sample with anything lost, double or
// out of order is shown as a failure, never as a figure.
package suite
