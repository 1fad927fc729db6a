# Answers any question on the port for names, at every address, with 192.0.2.7 (and no IPv6).
socket(S, 2, 2, 17);
bind(S, pack("S n x4 x8", 2, 53)) or die;
while ($peer = recv(S, $message, 512, 0)) {
    substr($message, 2, 2) = "\x81\x80";
    # The question's type is the last but one of its words.
    if (substr($message, -4, 2) eq "\0\1") {
        substr($message, 6, 2) = "\0\1";
        $message .= "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7";
    }
    send(S, $message, 0, $peer);
}
