/* command.h - one command line of SMTP, taken apart
 *
 * Pure. RFC 5321 4.1.1, 4.1.2 (esmtp-param), 2.4 (verbs in any case). */
#ifndef SMTPD_COMMAND_H
#define SMTPD_COMMAND_H

#include <stddef.h>

/* points into the line; neither part is NUL-terminated */
struct command {
  const char *verb, *arg; /* arg: what follows the verb, without spaces at its ends */
  size_t verblen, arglen;
};

/* takes a line without its line end apart. Always succeeds: an empty line has an empty verb. */
void command_parse(const char *line, size_t len, struct command *c);

/* whether the verb is this one (given in upper case) */
int command_is(const struct command *c, const char *verb);

/* the part of arg after "FROM:" or "TO:" (word, any case; spaces before the colon and
 * after it are taken). 0, or -1 when arg does not begin so. */
int command_after(const struct command *c, const char *word, const char **rest, size_t *len);

/* an esmtp-param: keyword [ "=" value ]; bytes above 127 in a value may be anything */
struct command_param {
  const char *key, *value;
  size_t keylen, valuelen;
  int has_value;
};

/* takes the next parameter off the front of s. 1: p is set; 0: there is none; -1: what
 * stands there is no parameter. */
int command_param(const char **s, size_t *len, struct command_param *p);
/* whether the parameter's keyword is this one (given in upper case) */
int command_param_is(const struct command_param *p, const char *key);

#endif
