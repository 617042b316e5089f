/* line.h - messages that wait for their destination, the oldest first
 *
 * A line for each next hop and kind. A message stands in one line at most, beside the
 * schedule. Everything takes the logarithm of a line's length, and no memory but the
 * records of waiting.h and 4 bytes for each line. */
#ifndef QUEUE_LINE_H
#define QUEUE_LINE_H

#include <stdint.h>

enum line_kind {
  LINE_NONE,
  LINE_NEW,  /* due, never tried: waits for room */
  LINE_DUE,  /* due: waits for room, or behind a probe */
  LINE_HELD  /* not due; waits because of the host alone: goes when mail gets through */
};

/* puts a message into a line, out of the one it stood in; hop: store_hop_hash(), or 0 for those
 * that wait for room in the manager */
void line_join(uint32_t handle, uint32_t hop, enum line_kind kind);
void line_leave(uint32_t handle);
/* the oldest; WAITING_NONE: nobody waits there */
uint32_t line_first(uint32_t hop, enum line_kind kind);

#endif
