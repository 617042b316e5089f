/* verdict.h - the three-valued result of everything mail
 *
 * When unsure, V_TEMP: the sender still has the mail. The spellings of a
 * verdict in other languages (SMTP class, exit code, word in messages between
 * programs) are rows of one table in verdict.c. */
#ifndef COMMON_VERDICT_H
#define COMMON_VERDICT_H

#include <stddef.h>

enum verdict { V_OK, V_TEMP, V_PERM };

/* exit codes of the commands people run, sysexits.h numbers (DESIGN 8) */
enum command_exit {
  EXIT_OK = 0,
  EXIT_USAGE = 64,
  EXIT_DATA = 65,
  EXIT_NOUSER = 67,
  EXIT_UNAVAILABLE = 69,
  EXIT_SOFTWARE = 70,
  EXIT_OSERR = 71,
  EXIT_CANTCREAT = 73,
  EXIT_IOERR = 74,
  EXIT_TEMPFAIL = 75,
  EXIT_NOPERM = 77,
  EXIT_CONFIG = 78
};

/* "ok", "temp", "perm": the word in wire messages and queue files */
const char *verdict_word(enum verdict v);

/* reads verdict_word()'s spelling; returns 0, or -1 when it is none */
int verdict_read(const char *s, size_t len, enum verdict *v);

/* the class of an SMTP reply code: 2yz V_OK, 5yz V_PERM, all else V_TEMP */
enum verdict verdict_of_reply(unsigned int code);

#endif
