// Package guide is the Go of docs/channels.md, as tests and examples: what stands
// in the guide stands here, or in one of the programs beside this folder, so it
// compiles and is run. TestTheGuideIsMadeOfCodeThatRuns compares the two.
package guide
