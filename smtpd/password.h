/* password.h - what is kept of a password, and whether one fits
 *
 * The value of table `users`: a hash of crypt(5), what a SCRAM server keeps, or both:
 *   $y$j9T$...                                    crypt
 *   {SCRAM-SHA-256}15000,SALT,STORED,SERVER       iterations; the rest in base64
 * Neither gives the password back. RFC 5802 3, RFC 7677. */
#ifndef SMTPD_PASSWORD_H
#define SMTPD_PASSWORD_H

#include <stddef.h>
#include <stralloc.h>

#define PASSWORD_MAX 1024        /* bytes of a password */
#define PASSWORD_ITERATIONS 15000 /* of SCRAM: what RFC 7677 4 counts as a tenth of a second */
#define PASSWORD_KEY64 45        /* 32 bytes in base64, and a NUL */
#define PASSWORD_SALT64 89       /* at most 64 bytes in base64, and a NUL */

struct password_scram {
  unsigned int iterations;
  char salt[PASSWORD_SALT64], stored[PASSWORD_KEY64], server[PASSWORD_KEY64];
};

/* texts are NUL-terminated; an empty one, or 0 iterations: not there */
struct password {
  char crypt[384]; /* CRYPT_OUTPUT_SIZE */
  struct password_scram scram;
};

/* reads a value: 0, or -1 with *why: what was expected */
int password_read(const char *value, size_t len, struct password *p, const char **why);
/* both forms of a new password, NUL-terminated, in out (replaced). 0; -1 with *why: the
 * password cannot be used, or the system failed. */
int password_make(const char *password, stralloc *out, const char **why);

/* whether it fits: 1, 0, or -1 when that cannot be told. Takes its time, by design; may run
 * in any thread. */
int password_check(const struct password *p, const char *password);

/* as if `name` had a password: a salt that is always the same for it, and keys that nobody
 * has. secret is what makes the salt hard to tell from a real one. 0, or -1 */
int password_decoy(const char *name, const char *secret, size_t secretlen, unsigned int iterations,
                   struct password_scram *s);

#endif
