/* convert.h - one conversion under way: sevenbit.c reads, decides and writes headers,
 * sevenbody.c writes bodies. Nobody else includes this. */
#ifndef DELIVER_CONVERT_H
#define DELIVER_CONVERT_H

#include <stdint.h>

#include <stralloc.h>

#include "deliver/mime.h"
#include "deliver/transfer.h"
#include "deliver/window.h"

struct convert {
  struct window in;
  struct transfer_out out;
  struct transfer_out counter;
  int only_lines; /* 8-bit bytes may stay */
  stralloc field, made[2]; /* bound: FIELD_MAX, and its encoded words */
  int is_cut;              /* the field at hand is longer than FIELD_MAX */
  int no_memory;
};

enum treatment { KEEP, PARTS, MESSAGE, TO_QP, TO_BASE64, REPAIR_QP, REPAIR_BASE64 };

struct entity {
  uint64_t from, header_end, body, to; /* header_end == body: no empty line between */
  int is_root;                         /* a whole message, not a body part */
  int in_signed;                       /* within multipart/signed */
  struct mime mime;
  /* what to do with it */
  enum treatment treatment;
  enum mime_cte cte; /* the encoding to declare, CTE_NONE: leave the field alone */
  int add_type, add_version;
  int is_utf8; /* its body is */
};

struct delimiter {
  uint64_t at, end;
  int kind; /* 0 none found, 1, 2 closing */
};

/* reads one entity, decides, and writes it */
void convert_walk(struct convert *cv, struct entity *e, unsigned int depth);
/* writes its body as decided */
void convert_body(struct convert *cv, const struct entity *e, unsigned int depth);

/* the next delimiter line at or after `at`, which begins a line */
struct delimiter convert_delimiter(struct convert *cv, const struct mime *m, uint64_t at,
                                   uint64_t to);
void convert_copy(struct convert *cv, uint64_t from, uint64_t to);
/* the same for a header field; 8-bit bytes that may not stay become question marks */
void convert_hide(struct convert *cv, uint64_t from, uint64_t to);
/* whether reading or writing failed: there is nothing more to do */
int convert_is_stopped(const struct convert *cv);

#endif
