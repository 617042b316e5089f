/* transfer.h - content transfer encodings: quoted-printable and base64
 *
 * Encoders only, streaming, constant memory. RFC 2045 6.7, 6.8. What they write never
 * begins a line with a dot or with "--": so no line of a body can turn into a dot line or
 * into a boundary by being encoded. */
#ifndef DELIVER_TRANSFER_H
#define DELIVER_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#include "deliver/sevenbit.h"

/* a buffered way out; without a sink it only counts */
struct transfer_out {
  const struct sevenbit_sink *sink;
  uint64_t count; /* bytes put */
  int failed;     /* the sink said stop */
  size_t n;
  char buf[8192];
};
void transfer_start(struct transfer_out *o, const struct sevenbit_sink *sink);
void transfer_put(struct transfer_out *o, const char *s, size_t len);
/* 0, or -1 when the sink said stop, now or before */
int transfer_flush(struct transfer_out *o);

/* quoted-printable. A body is given in pieces: lines without their CR LF, long ones in
 * several pieces; is_end marks the last piece of a line. */
struct transfer_qp {
  struct transfer_out *out;
  size_t col; /* bytes on the current line */
};
void transfer_qp_piece(struct transfer_qp *q, const char *s, size_t len, int is_end);
/* a piece that is quoted-printable already, but for 8-bit bytes: encodes these and
 * keeps what the rest means; lines that are too long are broken */
void transfer_qp_repair(struct transfer_qp *q, const char *s, size_t len, int is_end);
/* CR LF */
void transfer_qp_line(struct transfer_qp *q);

struct transfer_base64 {
  struct transfer_out *out;
  unsigned int col, have;
  unsigned char held[3];
};
void transfer_base64_bytes(struct transfer_base64 *b, const char *s, size_t len);
/* the padding; no line end */
void transfer_base64_end(struct transfer_base64 *b);
/* base64 that holds bytes which are none, or long lines: decoders skip such bytes (RFC 2045
 * 6.8), so this does. col: bytes on the line before, returns those after. */
size_t transfer_base64_repair(struct transfer_out *o, size_t col, const char *s, size_t len);
/* bytes that n bytes become, with CR LF between lines of 76 */
uint64_t transfer_base64_size(uint64_t n);

#endif
