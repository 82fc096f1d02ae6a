// What Go lays out in memory and bank_score reads. All of it is immutable while it is read.
#ifndef GAVEL_BANK_H
#define GAVEL_BANK_H

#include <stdint.h>

#define BANK_ROWS 8192       // the most rows of a segment
#define BANK_LANES 8         // floats of a vector; rows are padded to a multiple
#define BANK_FINE 0x8000     // of an entry's row: the entry refines what another one gave
#define BANK_UNKNOWN UINT32_MAX  // the length of a text that no segment knows

// A value that some row knows. Its text and its list end where the next value's begin; one more value than there are ends all.
typedef struct {
  uint32_t text;   // first byte
  uint32_t list;   // first entry
  int32_t dense;   // which dense row, or −1
} bank_value;

// A place of the hash table.
typedef struct {
  uint32_t tag;    // the hash's upper half
  uint32_t value;  // + 1; 0: free
} bank_slot;

// What a row's logit gains where the profile has the value.
typedef struct __attribute__((packed)) {
  uint16_t row;  // may have BANK_FINE
  float delta;
} bank_entry;

typedef struct {
  int32_t rows, padded;
  int32_t features;
  uint32_t mask;              // of the table, which always has a free place
  uint64_t seed;
  const double *base;         // [padded]
  const uint32_t *first;      // [features + 1] values, ascending
  const bank_value *values;   // [first[features] + 1]
  const bank_slot *table;     // [mask + 1]
  const uint8_t *text;
  const bank_entry *entries;
  const float *dense;         // [][padded], 64-byte aligned
} bank_segment;

// Rows from … to − 1 serve, and their classifiers add to a prior, or to none (−1).
typedef struct {
  int32_t from, to, prior;
} bank_run;

// A segment as one state serves it.
typedef struct {
  const bank_segment *segment;
  const int32_t *texts;  // [features] which of the profile's texts each reads
  const bank_run *runs;
  int64_t run_count;
} bank_part;

// A text of the profile: the values of a feature's fields.
typedef struct {
  uint32_t from, length;
  uint64_t hash;  // bank_score writes it
} bank_text;

// bank_fill writes a segment's table, which is free, and at least twice as large as there are values.
void bank_fill(const bank_segment *, bank_slot *table);

// bank_score computes the logits of the rows that serve, in the order of parts and rows, and of each prior. Priors are segments
// of one row. All segments have the same seed. logits may be NULL if there are no parts.
void bank_score(uint64_t seed, const bank_part *priors, int32_t prior_count, const bank_part *parts, int32_t part_count,
                const uint8_t *bytes, bank_text *texts, int32_t text_count, double *prior_logits, double *logits);

#endif
