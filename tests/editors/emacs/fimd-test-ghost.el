;;; fimd-test-ghost.el --- Ghost text in a buffer with the real daemon  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; What the model writes is its own affair: the tests take it from the overlay and look what
;; becomes of it.

;;; Code:

(require 'fimd-test-helper)

(defconst fimd-test-python
  "def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):|
"
  "Python, where the embedded model writes more than one line.")

(defun fimd-test-text (before after)
  "Whether the buffer's text is BEFORE and AFTER with point between."
  (should (equal (buffer-substring-no-properties (point-min) (point)) before))
  (should (equal (buffer-substring-no-properties (point) (point-max)) after)))

(defmacro fimd-test-with-ghost (name text key &rest body)
  "Run BODY where KEY typed in TEXT of the file NAME has brought a ghost.
The variables ghost, before and after are bound to it and the text around."
  (declare (indent 3))
  `(fimd-test-with ,name ,text
     (fimd-test-type ,key)
     (fimd-test-settle)
     (let* ((ghost (fimd-test-ghost))
            (before (buffer-substring-no-properties (point-min) (point)))
            (after (buffer-substring-no-properties (point) (point-max))))
       (should (stringp ghost))
       (should (> (length ghost) 4))
       ,@body)))

(ert-deftest fimd-01-shows ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (fimd-test-text (concat (car (split-string fimd-test-c "|")) " ")
                    (cadr (split-string fimd-test-c "|")))
    (should (eq (key-binding (kbd "TAB")) 'fimd-accept))
    (should (equal (substring-no-properties (fimd--lighter)) " fimd"))
    (should (equal after (cadr (split-string fimd-test-c "|"))))
    (should (equal before (buffer-substring-no-properties (point-min) (point))))))

(ert-deftest fimd-02-accept-and-undo ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (fimd-test-keys "TAB")
    (should-not (fimd-test-ghost))
    (fimd-test-text (concat before ghost) after)
    (undo-boundary)
    (fimd-test-keys "C-/")
    (fimd-test-text before after)
    (should-not (fimd-test-settle))))

(ert-deftest fimd-03-accept-word ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (let ((overlay (fimd-test-overlay))
          (word (substring ghost 0 (fimd-ghost-word ghost))))
      (should (< 0 (length word) (length ghost)))
      (fimd-test-keys "M-f")
      (should (eq overlay (fimd-test-overlay)))
      (should (equal (concat word (fimd-test-ghost)) ghost))
      (fimd-test-text (concat before word) after)
      (while (fimd-test-ghost)
        (should (string-prefix-p (concat before word (buffer-substring-no-properties
                                                      (+ (length before) (length word) 1) (point)))
                                 (concat before ghost)))
        (setq ghost (if (equal (fimd-test-ghost) "") (ert-fail "an empty ghost") ghost))
        (fimd-test-keys "M-f"))
      (fimd-test-text (concat before ghost) after))))

(ert-deftest fimd-04-accept-line ()
  (fimd-test-with-ghost "p/file.py" fimd-test-python "\n"
    (let ((lines (split-string ghost "\n")))
      (should (cdr lines))
      (fimd-test-keys "C-e")
      (fimd-test-text (concat before (car lines)) after)
      (should (equal (fimd-test-ghost) (concat "\n" (string-join (cdr lines) "\n"))))
      (fimd-test-keys "C-e")
      (fimd-test-text (concat before (string-join (seq-take lines 2) "\n")) after)
      (fimd-test-settle)
      (should (eq (not (fimd-test-ghost)) (null (cddr lines)))))))

(ert-deftest fimd-05-type-through ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (let* ((overlay (fimd-test-overlay))
           (typed (substring ghost 0 4))
           (count (lambda ()
                    (let ((all (plist-get (fimd-test-ask :fimd/status nil) :statistics)))
                      (list (plist-get all :started)
                            (plist-get (plist-get all :acceptance) :typedThrough)))))
           (then (funcall count)))
      (dotimes (i 4)
        (fimd-test-type (substring typed i (1+ i)))
        (should (eq overlay (fimd-test-overlay)))
        (should (equal (fimd-test-ghost) (substring ghost (1+ i)))))
      (fimd-test-settle)
      (should (equal (fimd-test-ghost) (substring ghost 4)))
      (fimd-test-text (concat before typed) after)
      ;; Nothing was asked for, and the daemon saw each key by itself.
      (should (equal (funcall count) (list (car then) (+ 4 (cadr then)))))
      ;; Back again, and the ghost grows.
      (fimd-test-keys "DEL DEL")
      (should (equal (fimd-test-ghost) (substring ghost 2)))
      ;; A key that disagrees.
      (fimd-test-type "~")
      (should-not (fimd-test-ghost))
      (fimd-test-text (concat before (substring typed 0 2) "~") after))))

(ert-deftest fimd-06-dismiss ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (fimd-test-keys "C-g")
    (should-not (fimd-test-ghost))
    (should-not (eq (key-binding (kbd "TAB")) 'fimd-accept))
    (should-not (eq (key-binding (kbd "M-n")) 'fimd-next))
    (should (eq (key-binding (kbd "C-g")) 'keyboard-quit))
    (fimd-test-text before after)
    (should-not (fimd-test-settle))))

(ert-deftest fimd-07-cycle ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (fimd-test-keys "M-n")
    (fimd-test-settle)
    (let ((texts (fimd-ghost-texts fimd-ghost))
          (second (fimd-test-ghost)))
      (should (cdr texts))
      (should-not (equal second ghost))
      (should (member second texts))
      (fimd-test-keys "M-p")
      (should (equal (fimd-test-ghost) ghost))
      (dotimes (_ (length texts))
        (fimd-test-keys "M-n"))
      (should (equal (fimd-test-ghost) ghost))
      (fimd-test-text before after)
      (fimd-test-keys "M-n TAB")
      (fimd-test-text (concat before second) after))))

(ert-deftest fimd-08-edit-elsewhere ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (save-excursion
      (goto-char (point-min))
      (insert "/* new */\n"))
    (should-not (fimd-test-ghost))
    (fimd-test-text (concat "/* new */\n" before) after)
    ;; Moving takes it away, too.
    (fimd-test-type "r")
    (fimd-test-until "a ghost" (fimd-test-settle))
    (fimd-test-keys "C-n")
    (should-not (fimd-test-settle))))

(ert-deftest fimd-09-undo ()
  (fimd-test-with-ghost "c/ring.c" fimd-test-c " "
    (undo-boundary)
    (fimd-test-keys "C-/")
    (should-not (fimd-test-settle))
    (fimd-test-text (string-remove-suffix " " before) after)
    (fimd-test-type " ")
    (should (equal (fimd-test-settle) ghost))))

(ert-deftest fimd-10-fast-typing ()
  (let ((mark (length (fimd-test-messages)))
        (text (concat "  unsigned char *grown = realloc(r->data, capacity * 2);\n"
                      "  if (grown == NULL) return false;\n  r->data = grown;\n"
                      "  r->capacity = capacity * 2; // twice as large as before now\n"
                      "  return ring_push(r, byte);\n"))
        (seen 0))
    (should (>= (length text) 200))
    (fimd-test-with "c/fast.c"
        (concat (string-replace "|" " return false;" fimd-test-c)
                "\nbool ring_grow(struct ring *r, size_t capacity) {\n|\n}\n")
      (electric-indent-local-mode -1)
      (setq-local c-electric-flag nil)
      (let* ((before (buffer-substring-no-properties (point-min) (point)))
             (after (buffer-substring-no-properties (point) (point-max)))
             (keys 0))
        (seq-do
         (lambda (char)
           (execute-kbd-macro (vector (if (eq char ?\n) ?\r char)))
           (cl-incf keys)
           ;; What is in flight may come between any two keys, and waits at some.
           (dotimes (i (if (zerop (mod keys 7)) 20 1))
             (accept-process-output nil (if (zerop i) 0 0.01))
             (when-let* ((shown (fimd-test-ghost)))
               (cl-incf seen)
               ;; It goes on from the text as it is now, and is not a stale one's rest.
               (should (string-prefix-p
                        (buffer-substring-no-properties (fimd-ghost-beg fimd-ghost) (point))
                        (fimd-ghost-text fimd-ghost)))
               (should (string-suffix-p shown (fimd-ghost-text fimd-ghost)))))
           (fimd-test-text (concat before (substring text 0 keys)) after))
         text)
        (fimd-test-settle)
        (fimd-test-text (concat before text) after)
        (message "     %d keys, ghost text seen %d times between them" keys seen)
        (should (> seen 0))))
    (should-not (string-match-p "[Ee]rror\\|[Ww]rong\\|warning"
                                (substring (fimd-test-messages) mark)))))

(ert-deftest fimd-13-why-and-status ()
  (fimd-test-with "c/why.c" (string-replace "|" " // a comment|" fimd-test-c)
    (setopt fimd-settings '((comments . nil)))
    (unwind-protect
        (progn
          (fimd-test-type "s")
          (should-not (fimd-test-settle))
          (let ((why nil))
            (fimd--get-why (lambda (said) (setq why said)))
            (fimd-test-until "a reason" why)
            (should (equal (plist-get why :quiet) "comment"))
            (should (equal (car (fimd--why-words why)) "comment"))
            (setq fimd--why (fimd--why-words why))
            (should (equal (substring-no-properties (fimd--lighter)) " fimd:comment")))
          (fimd-why)
          (fimd-test-until "the reason said"
            (string-match-p "fimd: nothing is shown: .*comment" (fimd-test-messages)))
          (save-window-excursion
            (fimd-status)
            (fimd-test-until "a status" (get-buffer "*fimd status*"))
            (with-current-buffer "*fimd status*"
              (should (string-match-p "^Daemon: .*median" (buffer-string))))))
      (setopt fimd-settings nil))))

(ert-deftest fimd-11-stale-requests-are-cancelled ()
  (fimd-test-with "c/cancel.c" (string-replace "malloc(" "calloc(1 + 31, " fimd-test-c)
    (fimd-test-until "a document" fimd-document)
    (let* ((count (lambda ()
                    (plist-get (plist-get (plist-get (fimd-test-ask :fimd/status nil) :statistics)
                                          :inlineCompletion)
                               :cancelled)))
           (before (funcall count))
           ids
           (listen (lambda (_conn method params)
                     (when (eq method :$/cancelRequest)
                       (push (plist-get params :id) ids)))))
      (advice-add 'fimd-daemon-notify :before listen)
      (unwind-protect
          (progn
            (fimd-test-type " ")
            (fimd-test-until "a request" fimd--pending)
            (should (equal (substring-no-properties (fimd--lighter)) " fimd:..."))
            (let ((id (fimd--request-id fimd--pending)))
              (should (integerp id))
              (fimd-test-keys "C-n")
              (should-not fimd--pending)
              (should (equal ids (list id))))
            ;; Unless it was answered already, which Emacs then has not read yet.
            (should (memq (- (funcall count) before) '(0 1)))
            (should-not (fimd-test-settle)))
        (advice-remove 'fimd-daemon-notify listen)))))

(ert-deftest fimd-15-daemon-sees-what-is-taken ()
  (fimd-test-with "c/taken.c" fimd-test-c
    (fimd-test-taking)))

(ert-deftest fimd-14-latency ()
  (fimd-restart)
  (let ((text "  if (r->count == r->capacity) return false;
  size_t at = (r->head + r->count) % r->capacity;
  r->data[at] = byte;
  r->count = r->count + 1;
  for (size_t i = 0; i < r->count; i++) {
    if (r->data[i] == byte) return true;")
        times)
    (fimd-test-with "c/latency.c"
        (concat (string-replace "|" " return false;" fimd-test-c)
                "\nbool ring_push(struct ring *r, unsigned char byte) {\n|\n}\n")
      (electric-indent-local-mode -1)
      (setq-local c-electric-flag nil)
      (seq-do
       (lambda (char)
         (let ((start (current-time))
               (was fimd-ghost))
           (fimd-test-type (string char))
           (fimd-test-until "an answer" (or (and fimd-ghost-shown (not fimd--timer)
                                                 (not fimd--pending))
                                            (fimd-test-idle-p)))
           ;; Not where the last ghost text only became shorter.
           (when (and fimd-ghost-shown (not (eq was fimd-ghost)))
             (push (* 1000 (float-time (time-since start))) times))
           (fimd-test-settle)))
       text)
      (should times)
      (let ((answer (plist-get (plist-get (fimd-test-ask :fimd/status nil) :statistics) :answerMs))
            (sorted (sort times #'<)))
        (message "     latency, key to overlay: p50 %.1f ms, p90 %.1f ms (%d new texts, %d keys)"
                 (nth (/ (length sorted) 2) sorted) (nth (/ (* 9 (length sorted)) 10) sorted)
                 (length sorted) (length text))
        (message "     the daemon's own figure for its answers: p50 %.1f ms, p90 %.1f ms (%d)"
                 (plist-get answer :p50) (plist-get answer :p90) (plist-get answer :count))))))

(provide 'fimd-test-ghost)
;;; fimd-test-ghost.el ends here
