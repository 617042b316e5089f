/* sasl.h - the words of logging in: mechanisms, back ends, outcomes
 *
 * Pure. heloise-smtpd and heloise-auth speak of them by these words, and settings
 * auth-mechanisms and auth-backends are lists of them. RFC 4954, RFC 4616 (PLAIN),
 * RFC 5802 and 7677 (SCRAM). */
#ifndef COMMON_SASL_H
#define COMMON_SASL_H

#include <stddef.h>
#include <stralloc.h>

#define SASL_LINE_MAX 12288                     /* bytes of a line of base64 (RFC 4954 4) */
#define SASL_MESSAGE_MAX (SASL_LINE_MAX / 4 * 3) /* bytes of what it stands for */
#define SASL_LOGIN_MAX 255                      /* bytes of a login name */

/* MECHANISMS(name, word, the client sends its password, SCRAM, bound to the TLS session) in
 * the order they are offered */
#define MECHANISMS(X) \
  X(SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", 0, 1, 1) \
  X(SCRAM_SHA_256, "SCRAM-SHA-256", 0, 1, 0) \
  X(PLAIN, "PLAIN", 1, 0, 0) \
  X(LOGIN, "LOGIN", 1, 0, 0)

enum mechanism {
#define X(name, word, password, scram, bound) MECHANISM_##name,
  MECHANISMS(X)
#undef X
  MECHANISM_COUNT
};

/* sets of mechanisms are bits */
#define MECHANISM_BIT(m) (1U << (m))
#define MECHANISMS_OF_PASSWORDS (MECHANISM_BIT(MECHANISM_PLAIN) | MECHANISM_BIT(MECHANISM_LOGIN))
#define MECHANISMS_ALL (MECHANISM_BIT(MECHANISM_COUNT) - 1)

struct mechanism_row {
  const char *word;
  int has_password, is_scram, is_bound;
};
const struct mechanism_row *mechanism_row(enum mechanism m);
/* by its word, in any case: 0, or -1 */
int mechanism_find(const char *s, size_t len, enum mechanism *m);
/* a list of words with spaces between: their set. 0, or -1 */
int mechanisms_read(const char *s, size_t len, unsigned int *set);
/* appends the words of a set, each after a space; 0, or -1 (ENOMEM) */
int mechanisms_format(stralloc *out, unsigned int set);

/* BACKENDS(name, word, what it can do at best: relaying SCRAM does not bind it) */
#define BACKENDS(X) \
  X(USERS, "users", MECHANISMS_ALL) \
  X(PAM, "pam", MECHANISMS_OF_PASSWORDS) \
  X(DOVECOT, "dovecot", MECHANISMS_OF_PASSWORDS | MECHANISM_BIT(MECHANISM_SCRAM_SHA_256))

enum backend_name {
#define X(name, word, mechanisms) BACKEND_##name,
  BACKENDS(X)
#undef X
  BACKEND_COUNT
};

/* setting auth-backends: the names in their order in list, *n of them; each at most once.
 * 0, or -1 */
int backends_read(const char *s, size_t len, enum backend_name list[BACKEND_COUNT], size_t *n);

/* OUTCOMES(name, word) of an exchange */
#define OUTCOMES(X) \
  X(OK, "ok")               /* the client is who it says */ \
  X(WRONG, "wrong")         /* no such user, or not its password */ \
  X(MALFORMED, "malformed") /* not what the mechanism says */ \
  X(LIMITED, "limited")     /* failed too often lately: not even looked at */ \
  X(TEMP, "temp")           /* nobody can tell now */

enum outcome {
#define X(name, word) OUTCOME_##name,
  OUTCOMES(X)
#undef X
  OUTCOME_COUNT
};

const char *outcome_word(enum outcome o);
int outcome_read(const char *s, size_t len, enum outcome *o);

/* a login name as it is looked up and written down, in out (replaced): ASCII in lower case,
 * NUL-terminated. 0; -1 when it is empty, too long, has a control byte or memory is out. */
int sasl_login(const char *s, size_t len, stralloc *out);

/* PLAIN: [authzid] NUL authcid NUL password; what they point to lies in s. 0, or -1. */
struct sasl_plain {
  const char *authzid, *login, *password;
  size_t authzidlen, loginlen, passwordlen;
};
int sasl_plain_read(const char *s, size_t len, struct sasl_plain *p);

#endif
