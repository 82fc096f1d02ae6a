// Package plans serves the plans of a model store as classifiers, a model a campaign: those that are linear over one-hot texts, so
// that a bank scores all of them at once.
//
//	<store>/<campaign>/<version>/plan + <store>/objects ──Follower──► verified, read as a linear model ──► classifiers.File ──► bank
//
// A pipeline of OneHotEncoder and LogisticRegression that pytrain has ported is such a plan (plan.ReadOneHot says which are). Others are
// refused by the node that is none. docs/ranking.md says how to publish them.
package plans
