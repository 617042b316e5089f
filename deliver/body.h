/* body.h - a message on its way to the wire: dot-stuffed, its end and the dot in one write */
#ifndef DELIVER_BODY_H
#define DELIVER_BODY_H

#include <stdint.h>
#include <sys/types.h>

#include "common/eightbit.h"
#include "deliver/conn.h"
#include "queue/envelope.h"

struct body {
  int fd;   /* the queue file */
  off_t at; /* where the message begins */
  uint64_t len;
  int has_dots; /* some line begins with a dot */
  enum eightbit_form form; /* FORM_7BIT and FORM_SHORT_LINES are made on the way */
  int is_one_segment; /* its end and the dot in one segment, whatever came before (LADDER.md X7) */
};

enum body_end {
  BODY_SENT,
  BODY_BROKEN,    /* the connection; errno says how */
  BODY_UNREADABLE /* our file: nothing that ends the message was sent (LADDER.md D23) */
};

/* sends message and dot; each block of 8 KiB within timeout_ms, and never for longer than setting
 * timeout-slow fewer than 64 bytes a second (LADDER.md D11): errno is ETIMEDOUT then */
enum body_end body_send(struct conn *c, const struct body *b, uint64_t timeout_ms);
/* its length on the wire without dot-stuffing. 0, or -1 */
int body_size(const struct body *b, uint64_t *size);
/* what may stand in the way of sending it as it is, so far as message and settings say */
void body_eightbit(const struct body *b, const struct envelope *e, struct eightbit_case *c);

#endif
