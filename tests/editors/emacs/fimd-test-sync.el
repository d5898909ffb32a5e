;;; fimd-test-sync.el --- What the daemon is told, against the buffer  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Every didOpen and didChange that goes out is applied to a plain second text, counted in the
;; encoding that was negotiated; it must be the buffer's text whenever the daemon is asked.

;;; Code:

(require 'fimd-test-helper)

(defvar fimd-test-copy nil "The texts that a daemon would have now: an alist by URI.")

(defun fimd-test-offset (text position encoding)
  "The offset in TEXT of the LSP POSITION in ENCODING."
  (let ((at 0))
    (dotimes (_ (plist-get position :line))
      (setq at (1+ (string-search "\n" text at))))
    (let ((units (plist-get position :character)))
      (while (> units 0)
        (should-not (eq (aref text at) ?\n))
        (cl-decf units (if (and (equal encoding "utf-16") (> (aref text at) #xffff)) 2 1))
        (cl-incf at))
      (should (zerop units)))
    at))

(defun fimd-test-heard (method params encoding)
  "Apply the notification METHOD with PARAMS in ENCODING."
  (let* ((document (plist-get params :textDocument))
         (uri (plist-get document :uri))
         (text (alist-get uri fimd-test-copy nil nil #'equal)))
    (pcase method
      (:textDocument/didOpen
       (should-not text)
       (setf (alist-get uri fimd-test-copy nil nil #'equal) (plist-get document :text)))
      (:textDocument/didClose
       (should text)
       (setf (alist-get uri fimd-test-copy nil t #'equal) nil))
      (:textDocument/didChange
       (should text)
       (seq-doseq (change (plist-get params :contentChanges))
         (let* ((range (plist-get change :range))
                (start (fimd-test-offset text (plist-get range :start) encoding))
                (end (fimd-test-offset text (plist-get range :end) encoding)))
           (setq text (concat (substring text 0 start) (plist-get change :text)
                              (substring text end)))))
       (setf (alist-get uri fimd-test-copy nil nil #'equal) text)))))

(defun fimd-test-listen (original conn method params)
  "Call ORIGINAL with CONN, METHOD and PARAMS, and listen."
  (when (object-of-class-p conn 'fimd-connection)
    (fimd-test-heard method params
                     (fimd-document-encoding (fimd-connection-capabilities conn))))
  (funcall original conn method params))

(defun fimd-test-same ()
  "Whether the daemon's text is the buffer's, after what is to be sent was."
  (fimd--sync)
  (let ((copy (alist-get (fimd-document-uri fimd-document) fimd-test-copy nil nil #'equal)))
    (should (equal copy (save-restriction
                          (widen)
                          (buffer-substring-no-properties (point-min) (point-max)))))))

;; Emacs 30.1 takes regions of as many bytes for regions of as many characters: it then leaves
;; bytes that are no characters in the buffer, or crashes.
(defun fimd-test-transposing-corrupts-p (regions)
  "Whether Emacs itself would damage the buffer by transposing REGIONS, four positions."
  (pcase-let* ((`(,start1 ,end1 ,start2 ,end2) regions)
               (text1 (buffer-substring-no-properties start1 end1))
               (text2 (buffer-substring-no-properties start2 end2)))
    (and (= (string-bytes text1) (string-bytes text2))
         (/= (length text1) (length text2)))))

(defun fimd-test-random-edit ()
  "Change something, somewhere."
  (let ((words ["x" "né" "😀" "a\nb" "\n" "𝒳 = 1;\n" "e\u0301" "漢字" "" "\t" "  "])
        (somewhere (lambda () (+ (point-min) (random (1+ (- (point-max) (point-min))))))))
    (goto-char (funcall somewhere))
    (pcase (random 10)
      ((or 0 1 2 3) (insert (aref words (random (length words)))))
      (4 (let ((other (min (point-max) (+ (point) (random 20)))))
           (delete-region (point) other)))
      (5 (undo-boundary)
         (ignore-errors (let ((last-command nil) (inhibit-message t)) (undo 1))))
      (6 (if (buffer-narrowed-p) (widen)
           (narrow-to-region (funcall somewhere) (funcall somewhere))))
      (7 (upcase-region (point) (min (point-max) (+ (point) 12))))
      (8 (let ((end (min (point-max) (+ (point) 15))))
           (subst-char-in-region (point) end ?a ?o)))
      (9 (let ((regions (sort (list (funcall somewhere) (funcall somewhere)
                                    (funcall somewhere) (funcall somewhere))
                              #'<)))
           (unless (fimd-test-transposing-corrupts-p regions)
             (apply #'transpose-regions regions)))))))

(defun fimd-test-random-edits (encoding)
  "Make many edits with positions counted in ENCODING, looking at the text often."
  (let ((fimd-daemon--encodings (vector encoding))
        (fimd-test-copy nil)
        ;; The same edits each time, unless others are asked for.
        (seed (pcase (getenv "FIMD_TEST_SEED")
                ('nil "fimd")
                ("random" (format "%s" (random t)))
                (given given))))
    (message "     FIMD_TEST_SEED=%s" seed)
    (fimd-daemon-stop)
    (random seed)
    (with-current-buffer (get-buffer-create "*fimd log*") (erase-buffer))
    (advice-add 'fimd-daemon-notify :around #'fimd-test-listen)
    (unwind-protect
        (fimd-test-with (format "s/%s.txt" encoding) (concat "/* 😀 é */\n" fimd-test-c)
          (fimd-test-until "the document" (fimd-test-until "a document" fimd-document))
          (should (equal encoding (fimd-document-encoding
                                   (fimd-connection-capabilities fimd-daemon-connection))))
          (dotimes (i 600)
            (fimd-test-random-edit)
            (when (zerop (random 3))
              (fimd-test-same))
            (when (zerop (mod i 50))
              (accept-process-output nil 0.001)))
          (widen)
          (fimd-test-same)
          ;; Both ways of counting are each other's inverse.
          (dotimes (_ 100)
            (let ((pos (1+ (random (1+ (buffer-size))))))
              (should (= pos (fimd-document-point (fimd-document-position pos encoding)
                                                  encoding)))))
          (fimd-test-ask :fimd/status nil)
          (should (equal (with-current-buffer "*fimd log*"
                           (goto-char (point-min))
                           (keep-lines "version\\|range\\|whole text\\|not open")
                           (buffer-string))
                         "")))
      (advice-remove 'fimd-daemon-notify #'fimd-test-listen)
      (should-not fimd-test-copy)
      (fimd-daemon-stop))))

(ert-deftest fimd-20-random-edits-utf-32 ()
  (fimd-test-random-edits "utf-32"))

(ert-deftest fimd-21-random-edits-utf-16 ()
  (fimd-test-random-edits "utf-16"))

(ert-deftest fimd-22-odd-characters ()
  "Raw bytes, lone surrogates and carriage returns keep their places."
  (fimd-test-with "s/odd.c" "int a;|\n"
    (fimd-test-until "a document" fimd-document)
    (insert "/* " (string #x3fff80 #xd800) "\r */")
    (fimd-document-sync)
    (should (equal (fimd-document--text (point-min) (point-max))
                   "int a;/* \ufffd\ufffd  */\n"))
    (should (fimd-test-ask :fimd/status nil))))

(ert-deftest fimd-23-life-of-a-document ()
  "Mode changes, new names, indirect buffers and the end of a buffer."
  (let ((count (lambda () (plist-get (fimd-test-ask :fimd/status nil) :documents))))
    (fimd-test-with "s/one.c" "int a;|\n"
      (fimd-test-until "a document" fimd-document)
      (let ((other (concat default-directory "two.c"))
            (before (funcall count)))
        (set-visited-file-name other t)
        (insert " ")
        (fimd--connection)
        (should (string-suffix-p "two.c" (fimd-document-uri fimd-document)))
        (should (= before (funcall count)))
        (let ((clone (make-indirect-buffer (current-buffer) "clone" t)))
          (with-current-buffer clone
            (should-not fimd-mode)
            (should-not fimd-document))
          (kill-buffer clone)
          (should (= before (funcall count))))
        (should fimd-document)
        (fundamental-mode)
        (should-not fimd-mode)
        (should-not fimd-document)
        (fimd-mode 1)
        (fimd-test-until "a document" fimd-document)
        (fimd-mode -1)
        (should-not fimd-document)))))

(provide 'fimd-test-sync)
;;; fimd-test-sync.el ends here
