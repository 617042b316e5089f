/* enddata.h - where a message ends: only at CR LF . CR LF, or where BDAT's count says
 *
 * Pure; constant memory; any chunking gives the same result. Takes what follows the 354,
 * gives the message in wire form: CR LF line ends, not dot-stuffed (RFC 5321 4.5.2, 4.1.1.4).
 * Bare CR, bare LF and NUL pass and are noted: they end nothing, and the message that
 * holds one is refused after its real end, so that no two systems can disagree about
 * where it ended. Where a bare LF is taken (takes_lf), it ends a line but never the message:
 * a lone dot on a line that it begins or ends is text. A dot in front of other text on such a
 * line was stuffed, as on any line. */
#ifndef SMTPD_ENDDATA_H
#define SMTPD_ENDDATA_H

#include <stddef.h>
#include <stdint.h>

/* what was read last:
 *   START   a line's end, or nothing yet
 *   DOT     a dot at a line's start; not given out
 *   DOT_CR  a dot at a line's start and a CR; neither given out
 *   TEXT    other bytes of a line
 *   CR      a CR in a line; given out */
enum enddata_state { ENDDATA_START, ENDDATA_DOT, ENDDATA_DOT_CR, ENDDATA_TEXT, ENDDATA_CR };

/* all zeroes is the beginning */
struct enddata {
  int is_counted;            /* set for BDAT: dots are nothing special, and nothing ends it */
  int takes_lf;              /* set for clients whose bare LF ends a line: it is given out as CR LF */
  enum enddata_state state;
  int after_lf;              /* the line at hand began after a bare LF that was taken */
  int is_over;               /* the end was read; what follows are commands */
  int has_bare_cr, has_bare_lf, has_nul;
  uint64_t size;             /* bytes given out */
  size_t line, longest;      /* bytes of this line and of the longest, without CR LF */
};

/* reads in[0..len) and writes the message's bytes to out, of which there must be room for
 * at least 4. Returns the bytes read: fewer than len when the message is over or out is full. */
size_t enddata_scan(struct enddata *e, const char *in, size_t len, char *out, size_t room,
                    size_t *written);
/* BDAT: the last octet was read. Ends the line that is not ended: writes at most 2 bytes to out,
 * returns how many. */
size_t enddata_close(struct enddata *e, char *out);

#endif
