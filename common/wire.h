/* wire.h - what passes between programs
 *
 * Programs talk over socket pairs of type SOCK_SEQPACKET: one packet is one
 * message. A message is a row of netstrings (as libowfat's scan_netstring reads them): first
 * the type's number, then its fields. wire.def lists every link, who is on it,
 * and every message with its fields and bounds; nothing else is legal, and
 * wire_decode() refuses it. What a decoded field means is still for the
 * receiver to check: numbers with wire_get_num(), text with wire_get_text(),
 * addresses with address_parse() and so on.
 *
 * The first message on a control channel is HELLO with WIRE_VERSION. */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/units.h"

#define WIRE_VERSION 1
#define WIRE_FIELDS 16
#define WIRE_MAX 65536 /* bytes of the largest packet */

enum wire_link {
#define WIRE_LINK(link, low, high) LINK_##link,
#define WIRE(type, link, sender, min, max, bytes, fd)
#include "common/wire.def"
#undef WIRE_LINK
#undef WIRE
  LINK_COUNT
};

enum wire_side { WIRE_LOW, WIRE_HIGH };

enum wire_type {
#define WIRE_LINK(link, low, high)
#define WIRE(type, link, sender, min, max, bytes, fd) WIRE_##type,
#include "common/wire.def"
#undef WIRE_LINK
#undef WIRE
  WIRE_TYPES
};

struct wire_field {
  const char *s; /* not NUL-terminated */
  size_t len;
};

/* a decoded message; its fields point into the packet it came from */
struct wire_msg {
  enum wire_type type;
  size_t n;
  struct wire_field f[WIRE_FIELDS];
  int fd; /* the descriptor that came with it, or -1; the receiver sets -1 when it keeps it */
};

/* a message being made */
struct wire_out {
  enum wire_type type;
  size_t n;
  struct wire_field f[WIRE_FIELDS];
  char digits[WIRE_FIELDS][UNITS_DIGITS];
};

const char *wire_name(enum wire_type t);

void wire_start(struct wire_out *o, enum wire_type t);
void wire_bytes(struct wire_out *o, const char *s, size_t len);
void wire_str(struct wire_out *o, const char *s); /* the string must outlive the send */
void wire_num(struct wire_out *o, uint64_t v);

/* the packet for o in out (replaced). Returns 0, or -1: EMSGSIZE when it breaks its
 * row in wire.def, ENOMEM. */
int wire_encode(const struct wire_out *o, stralloc *out);

/* decodes the packet buf, sent by side `sender` of `link`. Pure. Returns 0, or -1 with
 * *why saying what is wrong. Sets m->fd to -1. */
int wire_decode(const char *buf, size_t len, enum wire_link link, enum wire_side sender,
                struct wire_msg *m, const char **why);

/* whether a descriptor must come with this type */
int wire_needs_fd(enum wire_type t);

/* field i as a decimal number of at most max; 0, or -1 */
int wire_get_num(const struct wire_msg *m, size_t i, uint64_t max, uint64_t *v);
/* field i as text in out, NUL-terminated; -1 when it holds a NUL, is longer than max, or memory is out */
int wire_get_text(const struct wire_msg *m, size_t i, size_t max, stralloc *out);
/* whether field i is exactly this word */
int wire_is(const struct wire_msg *m, size_t i, const char *word);

#endif
