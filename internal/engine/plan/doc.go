// Package plan is the white-box engine: it runs models that are data, graphs of operators over typed columns, in C and without
// calling back. docs/plan-format.md is the contract with those who write plans, plan.h the one between stages.
package plan
