// Package rank is the front door for rankings: which of thousands of campaigns suits the user of one click.
//
//	POST /rank ──► decode ──► check ──► decompose ──► gather ──► sort and cut ──► encode ──► campaigns, best first
//	GET /click ──► profile ──────────► decompose ──► gather ──► best, explore ──► event ──► 302 to its landing page
//	     /sale ──► token, value ──► event
//
// A ranking, step by step, a file each:
//
//   - decode.go reads the body strictly, within bounds, into memory that the next request reuses.
//   - check.go finds what is well-formed but wrong, and the campaigns that are asked for.
//   - plan.go decomposes the ranking: each candidate campaign is scored by its classifier, or by the newest prior.
//   - gather.go has everything scored at once, and picks the candidates' logits: to score what is not asked for costs less
//     than to leave it out.
//   - sort.go keeps the best in a heap and sorts them.
//   - encode.go writes the answer.
//
// A request's deadline is set once, in server.go: the time of its first byte plus Options.Deadline. What is not scored by then is left
// out, and the answer says so (partial).
package rank
