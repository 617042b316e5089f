/* selfsigned.h - the certificate that `heloise init` makes, so that STARTTLS works from the first minute */
#ifndef CONF_SELFSIGNED_H
#define CONF_SELFSIGNED_H

/* where, in the control directory; judged by conf/build.c to be no table */
#define SELFSIGNED_DIR "keys"
#define SELFSIGNED_CERTIFICATE SELFSIGNED_DIR "/self-signed.crt"
#define SELFSIGNED_KEY SELFSIGNED_DIR "/self-signed.key"

/* a new key, and a certificate of hostname signed with it, for ten years; both flushed. 0; -1 with
 * errno, or errno 0 when OpenSSL would not. */
int selfsigned_make(int control, const char *hostname);

#endif
