// One text through the engine's stage replace_characters.
#include <string.h>

#include "text.h"

// replace_text writes the result into out, and returns its length; −1 if the text is refused.
int64_t replace_text(const uint8_t *blocks, const int32_t *rows, const uint8_t *bytes, const uint32_t *offsets, const uint8_t *text,
                     uint32_t length, uint8_t *out) {
  gv_text in = {.bytes = text, .length = length}, found;
  gv_value values[] = {{.type = GV_TEXT, .width = 1, .text = &in}, {.type = GV_TEXT, .width = 1, .text = &found}};
  gv_run run = {.values = values, .rows = 1};
  const gv_replace_params p = {.blocks = blocks, .rows = rows, .bytes = bytes, .offsets = offsets};
  const int32_t reads[] = {0};
  const gv_stage stage = {.run = gv_replace_characters, .params = &p, .in = reads, .inputs = 1, .out = 1};
  int refused = stage.run(&stage, &run) || run.fault[0];
  if (!refused) memcpy(out, found.bytes, found.length);
  gv_arena_free(&run.arena);
  return refused ? -1 : (int64_t)found.length;
}
