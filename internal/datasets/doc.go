// Package datasets keeps examples as Parquet files, each a complete data set of its own that pandas, DuckDB, Spark or
// pytrain can read (docs/datasets.md is the contract).
//
// A Set is one directory, <root>/<data set>, with a directory a campaign. Rows come in the order of their times. They wait in
// memory until Flush(until), which puts all rows before that time on disk: a file for each campaign that has any. Rows of
// later times still wait. So the files of a campaign cover ranges of time that do not overlap, and no file ever changes.
//
// A flush has four steps:
//
//  1. all files are written in .aside, and synced with one call for the whole file system;
//  2. they are renamed into place, and the names are synced in the same way;
//  3. index.json is written aside and then replaced: it holds until, and the position in the stream where the reader of the stream resumes. This commits the flush;
//  4. files of one campaign are joined, below.
//
// A flush that fails before index.json is replaced, on a full disk say, is undone, and its rows wait for the next one. Files that
// cannot be joined stay as they are.
//
// When a set is opened, files beyond the index's until are removed: a flush wrote them and did not commit. The reader of
// the stream then resumes at the index's position and brings their rows again. So each row is in exactly one file, whenever
// the process is killed.
//
// Joining keeps files few. A file that has no more rows than the next one is joined with it, as long as both have at most
// MaxJoinedRows rows together. So a campaign of n rows has about log2(n) files, and a row is rewritten at most so many times. The
// joined file covers the range of both. It is in place before they are removed, and readers skip a file whose range lies
// within another's.
package datasets
