/* tls_names.h - our certificates and keys, by the name that a client asks for
 *
 * They come from `heloise run` in a descriptor of memory (conf/certificates.c: put_all()); table
 * `certificates` says which name has which. */
#ifndef SMTPD_TLS_NAMES_H
#define SMTPD_TLS_NAMES_H

#include <stddef.h>

struct ssl_st;

#define TLS_NAME_MAX 254 /* room for a name */

/* takes fd over: its certificates replace those before; sessions that have one keep it. 0, or -1
 * when there is none that can be used. */
int tls_names_load(int fd);
/* whether there is one */
int tls_names_any(void);
/* a name that a client sent, as we take it: in lower case; -1 when it is no host name. Pure. */
int tls_names_clean(const char *said, char out[TLS_NAME_MAX]);
/* gives a session the certificate for the name it asks for: 0, or -1 */
int tls_names_choose(struct ssl_st *ssl);

#endif
