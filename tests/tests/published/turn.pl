# Answers each datagram at port 53 with its sender's bytes turned around, at any address of either family.
socket(S, 10, 2, 17);
bind(S, pack("S n N x16 N", 10, 53, 0, 0)) or die;
while ($peer = recv(S, $message, 65535, 0)) {
    send(S, scalar reverse($message), 0, $peer);
}
